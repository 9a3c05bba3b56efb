"""Requests: what a run is asked for, as a dataclass of which a command makes its flags.

Each field of a request, and of the configs nested in it, is a flag: of the type and default of the
field, explained by the `Attributes` section of its class, with the bounds and choices of
`hierjax.settings.setting`. More rules may be given there: `only=(flag, values)` refuses a field
where another flag has none of the values, `identity=False` says that a field does not fix the
numbers of a run, and `flag=False` that it is recorded but is no flag.
"""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from hierjax.runs.parallel import IMPLS
from hierjax.runs.trackers import TRACKERS
from hierjax.settings import Config, check, explanations, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRequest(Config):
    """What every experiment is asked for; its own request adds fields, all of which are flags.

    Attributes:
      seed: seed of everything random.
      num_seeds: number of seeds; each draws its own task, data and weights.
      workdir: folder of the run, gs://bucket/folder for one of a bucket; an unfinished run that is
        found there is resumed.
      impl: how seeds are divided between devices.
      num_devices: number of devices to use; unset: all.
      overwrite: delete the run that is found in the workdir, and start anew.
      log_to: trackers that show the numbers of the run while it is under way, besides
        metrics.jsonl; each is a package of its own.
      profile: number of rounds of training, or batches of seeds, of which a trace for TensorBoard
        and Perfetto is written to profile/ in the workdir, the first one left out.
      coordinator: address of process 0, host:port, where several processes run one program and
        JAX does not find the others by itself.
      num_processes: number of these processes; --coordinator and --process_id belong to it.
      process_id: number of this one of them, from 0.

    Raises:
      ValueError: a value is not allowed.
    """

    seed: int = setting(0, least=0, most=2**32 - 1)
    num_seeds: int = setting(10, least=1, most=2**20)
    workdir: str = setting("", identity=False)
    impl: str = setting(IMPLS[0], choices=IMPLS, identity=False)
    num_devices: int | None = setting(None, identity=False)
    overwrite: bool = setting(False, identity=False)
    log_to: tuple[str, ...] | None = setting(None, choices=TRACKERS, identity=False)
    profile: int = setting(0, least=0, identity=False)
    coordinator: str | None = setting(None, identity=False)
    num_processes: int | None = setting(None, least=1, identity=False)
    process_id: int | None = setting(None, least=0, identity=False)

    @property
    def own(self) -> dict[str, Any]:
        """The fields that the experiment adds, and the seeds, by name; configs as they are."""
        of_all = {field.name for field in dataclasses.fields(RunRequest)}
        names = [field.name for field in dataclasses.fields(self) if field.name not in of_all]
        return {name: getattr(self, name) for name in (*names, "num_seeds", "seed")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepRequest(RunRequest):
    """What every sweep is asked for; its own request adds fields, all of which are flags.

    Attributes:
      scheduler: address of a Dask scheduler whose workers measure, such as tcp://host:8786.
      workers: number of worker processes to start on this machine; unset: this process does the
        work.
    """

    scheduler: str | None = setting(None, identity=False)
    workers: int | None = setting(None, identity=False)

    def __post_init__(self):
        super().__post_init__()
        for name in ("scheduler", "workers"):
            if self.num_devices is not None and getattr(self, name) is not None:
                raise ValueError(
                    f"--num_devices={self.num_devices} is of this process, but workers measure "
                    f"with --{name}, on all devices that they see: leave one of them out"
                )


Follows = Mapping[str, Mapping[Any, Mapping[str, Any]]]
"""For the value of a flag, the values that other flags take if they are not given."""


class Leaf(NamedTuple):
    """A field of a request, or of a config nested in it, that is a flag.

    Attributes:
      flag: name of the flag.
      path: names of the fields that lead to it.
      kind: type of the value, or of the entries of a list.
      listed: whether the value is a list.
      single: whether a list of one number stands for the number, as the default does.
      default: value that the field takes if the flag is not given.
      rules: metadata of the field, see `hierjax.settings.setting`.
      help: what the flag means, one line that stands alone.
    """

    flag: str
    path: tuple[str, ...]
    kind: type
    listed: bool
    single: bool
    default: Any
    rules: Mapping[str, Any]
    help: str


def nested(
    config: type,
    prefix: str = "",
    names: Mapping[str, str] | None = None,
    only: tuple[str, tuple[str, ...]] | None = None,
    **defaults: Any,
) -> Any:
    """Declares a field of a request that is a config of its own, whose fields are flags.

    Args:
      config: class of the config.
      prefix: what stands before the names of the fields in the names of the flags.
      names: names of flags, by the names of their fields, that are not made of prefix and field.
      only: of all flags of the config, what `only` says of one.
      **defaults: defaults in place of those of the fields; None where the value follows.

    Returns:
      What `dataclasses.field` returns.
    """
    return dataclasses.field(
        metadata={
            "config": config,
            "prefix": prefix,
            "names": names or {},
            "of_all": {"only": only} if only else {},
            "defaults": defaults,
        }
    )


def leaves(request: type) -> list[Leaf]:
    """Lists the flags of a request, in the order of its fields.

    Args:
      request: class of the request.

    Raises:
      ValueError: a field has no default or is not explained, or two flags have the same name.
    """
    found = list(_leaves(request, (), "", {}, {}, {}))
    names = [leaf.flag for leaf in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two flags of {request.__name__} are called {name}: rename one")
    for leaf in found:
        other, _ = leaf.rules.get("only", (leaf.flag, ()))
        if other not in names:
            raise ValueError(f"flag {leaf.flag} is only for {other}, which is no flag: rename it")
    return found


def _leaves(config, path, prefix, renamed, of_all, defaults) -> Iterator[Leaf]:
    hints, explained = typing.get_type_hints(config), explanations(config)
    for field in dataclasses.fields(config):
        rules, where = {**field.metadata, **of_all}, (*path, field.name)
        if "config" in rules:
            own = {each.name for each in dataclasses.fields(rules["config"])}
            for each in (*rules["names"], *rules["defaults"]):
                if each not in own:
                    raise ValueError(
                        f"{config.__name__}.{field.name} has no field {each} to name or to set"
                    )
            how = (rules[each] for each in ("prefix", "names", "of_all", "defaults"))
            yield from _leaves(rules["config"], where, *how)
            continue
        if rules.get("flag") is False:
            continue
        name = renamed.get(field.name, prefix + field.name)
        default = defaults.get(field.name, field.default)
        if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        for missing, what in (
            (default is dataclasses.MISSING, "default"),
            (not explained.get(field.name), "help"),
        ):
            if missing:
                raise ValueError(f"flag {name} of {config.__name__} has no {what}: give it one")
        text = explained[field.name]
        text = text[0].upper() + text[1:]
        kind, listed = _kind(hints[field.name])
        single = listed and isinstance(default, int | float)
        yield Leaf(name, where, kind, listed, single, default, rules, text)


def _kind(hint: Any) -> tuple[type, bool]:
    """Returns the type of a value, or of the entries of a list, and whether it is a list."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    (part,) = [x for x in (typing.get_args(hint) if union else (hint,)) if x is not type(None)]
    if typing.get_origin(part) is tuple:
        return typing.get_args(part)[0], True
    return part, False


def check_follows(request: type, follows: Follows) -> None:
    """Asserts that all names in a table of what follows are names of flags.

    Args:
      request: class of the request.
      follows: the table.

    Raises:
      ValueError: a name is none.
    """
    known = leaves(request)
    names = {leaf.flag for leaf in known}
    for name, table in follows.items():
        for each in (name, *(flag for values in table.values() for flag in values)):
            if each not in names:
                raise ValueError(
                    f"follows has {each}, which is no flag of {request.__name__}: choose one of "
                    f"{_list(known)}"
                )


def _list(known: list[Leaf]) -> str:
    return ", ".join(leaf.flag for leaf in known)


def build(request: type, follows: Follows, values: Mapping[str, Any]) -> Any:
    """Makes a request of the values of its flags.

    Args:
      request: class of the request.
      follows: the values that flags take which are not given, see `Follows`.
      values: the values that are given, by the names of the flags.

    Returns:
      The request.

    Raises:
      ValueError: a value is not allowed, or not beside the others.
    """
    known = leaves(request)
    chosen = {leaf.flag: leaf.default for leaf in known}
    for name in values:
        if name not in chosen:
            raise ValueError(f"{request.__name__} has no flag {name}: choose one of {_list(known)}")
    for name, table in follows.items():
        chosen |= table.get(values.get(name, chosen[name]), {})
    chosen |= values
    for leaf in known:
        if chosen[leaf.flag] is not None:
            check(leaf.flag, chosen[leaf.flag], leaf.rules)
        other, allowed = leaf.rules.get("only", (None, ()))
        if other is not None and leaf.flag in values and chosen[other] not in allowed:
            found = "" if chosen[other] is None else f", not {chosen[other]}"
            raise ValueError(
                f"--{leaf.flag} is for --{other} {' or '.join(allowed)}{found}: drop it"
            )
    return _construct(request, (), {leaf.path: chosen[leaf.flag] for leaf in known})


def overruled(follows: Follows, values: Mapping[str, Any]) -> list[str]:
    """Says where values that are given win over those that another given value brings.

    Args:
      follows: the values that flags take which are not given, see `Follows`.
      values: the values that are given, by the names of the flags.

    Returns:
      A line for each flag, such as a preset, of whose values some do not hold.
    """
    lines = []
    for name, table in follows.items():
        brought = table.get(values.get(name), {})
        won = [flag for flag in brought if values.get(flag, brought[flag]) != brought[flag]]
        if won:
            lines.append(
                f"given flags win over --{name} {values[name]}: "
                + ", ".join(f"{flag}={values[flag]}, not {brought[flag]}" for flag in won)
            )
    return lines


def _construct(config: type, path: tuple[str, ...], values: Mapping[tuple[str, ...], Any]) -> Any:
    fields = {}
    for field in dataclasses.fields(config):
        where = (*path, field.name)
        if "config" in field.metadata:
            fields[field.name] = _construct(field.metadata["config"], where, values)
        elif values.get(where) is not None:
            fields[field.name] = values[where]
    return config(**fields)


def identity(request: Any) -> dict[str, Any]:
    """Returns the fields of a request that fix the numbers of a run, values that JSON can hold."""
    fields = dataclasses.fields(request)
    names = {field.name for field in fields if field.metadata.get("identity", True)}
    return {name: each for name, each in dataclasses.asdict(request).items() if name in names}
