"""A random hierarchy learned layer by layer, then by a network of your own.

    python -m examples.quickstart

takes half a minute on two cores, most of it compiling.
"""

# %% Two grammars, each learned layer by layer from 4 * C * M^L strings.
import jax
import optax
from flax import linen as nn

import hierjax as hj

spec = hj.RandomHierarchySpec(num_classes=8, vocab_size=8, num_rules=4, branching=2, depth=3)


def test_error(layers, key):
    grammar = hj.draw_random_hierarchy(jax.random.fold_in(key, 0), spec)
    split = hj.make_split(grammar, jax.random.fold_in(key, 1), num_train=2048, num_test=2000)
    params = hj.train_layerwise(layers, split.train, jax.random.fold_in(key, 2))
    return hj.error_rate(hj.forward(layers, params, split.test.inputs), split.test.labels)


def report(name, layers):
    errors = hj.map_seeds(lambda key: test_error(layers, key))(hj.seed_keys(seed=0, num_seeds=2))
    print(f"{name}: test error {errors.mean():.4f}, worst {errors.max():.4f} (chance 0.875)")


report("layerwise", hj.patch_layers(spec))


# %% A network of your own. With these methods it can be trained one layer at a time.
class MyNet(nn.Module):
    num_layers = 3

    def setup(self):
        self.convs = [hj.PatchConv(width=64, branching=2) for _ in range(3)]
        self.head = nn.Dense(8)

    def embed(self, tokens):
        return jax.nn.one_hot(tokens, 8)

    def layer(self, hidden, index):
        return nn.relu(self.convs[index](hidden))

    def readout(self, hidden):
        return self.head(hidden[:, 0])

    def __call__(self, tokens):
        hidden = self.embed(tokens)
        for index in range(self.num_layers):
            hidden = self.layer(hidden, index)
        return self.readout(hidden)


# %% Layer by layer, and end to end; the learning rate is chosen on held-out strings.
descent = hj.Descent(optax.adam, learning_rates=(0.01, 0.03), num_steps=1000, batch_size=32)
report("my network, layer by layer", hj.network_layers(MyNet(), descent))
report("my network, end to end", (hj.Network(MyNet(), descent),))
