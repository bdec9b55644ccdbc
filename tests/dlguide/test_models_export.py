"""Every model becomes a graph with torch.export that computes the same for another batch size."""

import pytest
import torch

from tests.dlguide.model_tasks import EVERY, IDS, first, make

# torch's own recurrent layers put their weights into a list while they are traced, and torch.export remarks on it
pytestmark = pytest.mark.filterwarnings("ignore:The tensor attributes? self.rnn:UserWarning")

NOT_EXPORTED = {"bidirectional", "Seq2Seq"}  # they pack, and to pack is to read the lengths


@pytest.mark.parametrize("name", [name for name in EVERY if name not in NOT_EXPORTED])
def test_export_for_any_batch(name):
    model, inputs, _, _ = make(name)
    model.eval()
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(model, tuple(inputs), dynamic_shapes=[{0: batch}] * len(inputs)).module()
    for n in (6, 3):
        some = [x[:n] for x in inputs]
        torch.testing.assert_close(first(exported(*some)), first(model(*some)), rtol=1e-4, atol=1e-5)


def test_a_bidirectional_network_says_why_it_is_not_exported_with_lengths():
    model, inputs, _, _ = make("bidirectional")
    with pytest.raises(ValueError, match="exported without lengths"):
        torch.export.export(model.eval(), tuple(inputs))
    exported = torch.export.export(model, (IDS,)).module()
    torch.testing.assert_close(exported(IDS), model(IDS))
