"""Check a page of this site from its HTML alone."""

# --8<-- [start:page]
page = """
<div class="language-python highlight"><pre><code>import torch

x = torch.tensor(2.0, requires_grad=True)
(x**3).backward()</code></pre></div>
<div class="language-python highlight"><pre><code>
print(f"{x.grad:.2f}")</code></pre></div>
<div class="language-text output highlight"><pre><code>12.00</code></pre></div>
"""
# --8<-- [end:page]

# --8<-- [start:reader]
from html.parser import HTMLParser


class Blocks(HTMLParser):
    """The program and output blocks of a page, in order: [kind, text]."""

    def __init__(self):
        super().__init__()
        self.found, self.kind, self.inside = [], None, False

    def handle_starttag(self, tag, attributes):
        names = (dict(attributes).get("class") or "").split()
        if tag == "div" and "highlight" in names:
            python = "program" if "language-python" in names else None
            self.kind = "output" if "output" in names else python
        if tag == "code" and self.kind:
            self.found.append([self.kind, ""])
            self.inside = True

    def handle_endtag(self, tag):
        if tag == "code":
            self.kind, self.inside = None, False

    def handle_data(self, text):
        if self.inside:
            self.found[-1][1] += text


reader = Blocks()
reader.feed(page)
print([kind for kind, _ in reader.found])
# --8<-- [end:reader]

# --8<-- [start:run]
import io
from contextlib import redirect_stdout


def check(blocks):
    """Run the program in one namespace; compare each output with what was printed."""
    namespace, printed, verdicts = {"__name__": "__main__"}, "", []
    for kind, text in blocks:
        if kind == "output":
            verdicts.append(printed.strip() == text.strip())
        else:
            stream = io.StringIO()
            with redirect_stdout(stream):
                exec(text, namespace)
            printed = stream.getvalue()
    return verdicts


print(check(reader.found))
# --8<-- [end:run]

# --8<-- [start:wrong-digit]
forged = Blocks()
forged.feed(page.replace("12.00", "12.01"))
print(check(forged.found))
# --8<-- [end:wrong-digit]

# --8<-- [start:formula]
import torch


def proves(derivative):
    """Is it the derivative of the sigmoid, at a thousand points, in float64?"""
    z = torch.linspace(-8, 8, 1000, dtype=torch.float64, requires_grad=True)
    (truth,) = torch.autograd.grad(z.sigmoid().sum(), z)
    return torch.allclose(derivative(z.detach()), truth, rtol=1e-12, atol=0)


print(proves(lambda z: z.sigmoid() * (1 - z.sigmoid())))
print(proves(lambda z: z.sigmoid()))
# --8<-- [end:formula]
