"""Models of a screen or two each. They return logits and know nothing of devices, batches or training.

Pictures and rows go in as `model(x)`, texts as `model(ids, lengths)`. `build(name, splits)` makes the classifier that
fits the data; `MODELS` lists the names.
"""

from dlguide.models.autoencoder import VAE, Autoencoder, negative_elbo
from dlguide.models.catalog import MODELS, Entry, build
from dlguide.models.convolutional import CNN, LeNet
from dlguide.models.language import GPT, CharRNN, next_token_loss
from dlguide.models.mlp import MLP
from dlguide.models.recurrent import RNNClassifier
from dlguide.models.resnet import BasicBlock, ResNet
from dlguide.models.seq2seq import Seq2Seq
from dlguide.models.speedy import SpeedyNet
from dlguide.models.text import BagOfNgrams, TextCNN
from dlguide.models.transfer import Transfer, pretrained
from dlguide.models.transformer import Block, SelfAttention, TransformerClassifier
from dlguide.models.vgg import VGG

__all__ = [
    "CNN",
    "GPT",
    "MLP",
    "MODELS",
    "VAE",
    "VGG",
    "Autoencoder",
    "BagOfNgrams",
    "BasicBlock",
    "Block",
    "CharRNN",
    "Entry",
    "LeNet",
    "RNNClassifier",
    "ResNet",
    "SelfAttention",
    "Seq2Seq",
    "SpeedyNet",
    "TextCNN",
    "Transfer",
    "TransformerClassifier",
    "build",
    "negative_elbo",
    "next_token_loss",
    "pretrained",
]
