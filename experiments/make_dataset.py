"""Strings of a random hierarchy with their trees, in files that other programs read.

    python -m experiments.make_dataset --num_strings 1000000 --num_test 10000
    python -m experiments.make_dataset --grammar mine.json --workdir runs/mine

The grammar is drawn as the first seed of other experiments draws it, or read from a file, .npz or
JSON (see `hierjax.tasks.load_grammar`). Each file holds many strings, and one of them is in memory
at a time. What is finished is kept when the command is killed, and the same command goes on. Test
strings, if any are asked for, are not among the train strings. hj.runs.open_dataset, to_torch and
to_hugging_face read the files; docs/datasets.md says what is in them. A million strings of 16
tokens take five seconds on one core, most of them to start and to compile, and 31 MB.
"""

import contextlib
import dataclasses
import time

import jax

from experiments.command import cli, process
from experiments.runner import ROOT
from hierjax.runs import (
    PINNED,
    DatasetSizes,
    DatasetWriter,
    nested,
    seed_keys,
    spec_name,
    under,
)
from hierjax.settings import Config, setting
from hierjax.tasks import GrammarDraw, RandomHierarchy, RandomHierarchySpec, load_grammar

_DRAWN = "random"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(Config):
    """What is asked for; its fields are the flags.

    Attributes:
      grammar: file of the grammar; random to draw one of the sizes that the other flags say.
      spec: sizes of the grammar that is drawn, without null symbols.
      draw: how it is drawn, given its sizes.
      sizes: numbers of strings.
      seed: seed of everything random.
      workdir: folder that the files are written to; an unfinished dataset that is found there is
        gone on with.
      overwrite: delete the dataset that is found in the workdir, and start anew.

    Raises:
      ValueError: a value is not allowed.
    """

    grammar: str = setting(_DRAWN)
    spec: RandomHierarchySpec = nested(
        RandomHierarchySpec,
        only=("grammar", (_DRAWN,)),
        num_classes=16,
        vocab_size=16,
        num_rules=4,
        branching=2,
        depth=4,
    )
    draw: GrammarDraw = nested(GrammarDraw, only=("grammar", (_DRAWN,)))
    sizes: DatasetSizes = nested(DatasetSizes)
    seed: int = setting(0, least=0, most=2**32 - 1)
    workdir: str = setting(str(ROOT / "runs" / "make_dataset"))
    overwrite: bool = setting(False)


def headline(request: Request, grammar: RandomHierarchy) -> str:
    """What is about to be written."""
    sizes, spec = request.sizes, grammar.spec
    test = f" and {sizes.num_test} unseen ones" if sizes.num_test else ""
    trees = " with their trees" if sizes.trees else ""
    return (
        f"{sizes.num_strings} strings{test} of {spec.num_leaves} tokens{trees}, of a random "
        f"hierarchy {spec_name(spec)}, in {len(sizes.shards)} files"
    )


def main() -> None:
    """Writes the files that the command line asks for, and exits."""
    process.guard()
    cli.ready()
    with contextlib.ExitStack() as stack:
        stack.enter_context(under(PINNED))
        request, _ = cli.read(__doc__, "experiments.make_dataset", Request)
        cli.require_devices()
        stack.enter_context(cli.preparing())
        key = seed_keys(request.seed, 1)[0]
        if request.grammar == _DRAWN:
            grammar = request.draw.draw(jax.random.fold_in(key, 0), request.spec)
        else:
            grammar = load_grammar(request.grammar)
        strings = jax.random.fold_in(key, 1)
        writer = DatasetWriter(request.workdir, grammar, strings, request.sizes, request.overwrite)
        stack.enter_context(contextlib.closing(writer))
        stack.enter_context(cli.running(writer.folder))
        print(f"{headline(request, grammar)}, into {writer.folder.name}")
        if writer.num_kept:
            print(f"{writer.num_kept} strings are written already")
        start, missing = time.perf_counter(), request.sizes.total - writer.num_kept
        writer.carry_out()
        seconds = time.perf_counter() - start
        print(
            f"wrote {missing} strings in {seconds:.1f} s, and dataset.json to {writer.folder.name}"
        )


if __name__ == "__main__":
    main()
