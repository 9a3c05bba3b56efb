"""Tasks: where data comes from.

A task is a frozen pytree with a method `sample(key, n)` that returns a `Batch` of n examples. Its
sizes are static, its tables are arrays, so that `jax.vmap` over keys draws many tasks at once.

Strings of a random hierarchy model (arXiv 2307.02129):
  random_hierarchy.py    RandomHierarchySpec (sizes), RandomHierarchy (the task), symbol_dtype.
  grammars.py            Ways to come by one: draw_random_hierarchy, from_rules,
                         latin_square_top, check_latin_square, RULE_DRAWS,
                         check_rule_draw.
  grammar_draws.py       How those of a run are drawn: GrammarDraw, PLAIN, TOP_RULES.
  sparse_rules.py        Children among null symbols: spread_children, sparse_spec.
  grammar_files.py       save_grammar, load_grammar: .npz and JSON.
  rule_dictionaries.py   from_rule_dictionary: rules as published codes keep them.
  interventions.py       One node of every tree is changed: resample_rule, resample_symbol,
                         resample_subtree.
  filtered.py            Upper correlations are taken away: FilteredHierarchy (the task),
                         check_filter.
  noise.py               Noise (rates), NoisyHierarchy (the task), corrupt, check_noise;
                         leaf_kernel, label_kernel.

Labels that form a hierarchy (arXiv 2601.00455):
  label_hierarchy.py     LabelHierarchy (the task), LabelLevel, draw_signs, walsh_monomials,
                         walsh_coefficients.
  label_hierarchies.py   draw_reversible_hierarchy (its kinds are REVERSIBLE), automaton.
  ptf_hierarchy.py       PTFSpec (its kinds are PTF_KINDS), draw_ptf_hierarchy, require_balanced.
  circuits.py            BrainDumpSpec, BrainDump (the task), draw_brain_dump, draw_circuit.
  label_families.py      What a run draws its tasks from: LabelFamily, HierarchyFamily (its kinds
                         are HIERARCHY_KINDS), BrainDumpFamily.
  lattice.py             Locations on a ring or grid and the windows around them: check_lattice,
                         num_locations, window_size, window_table, gather_windows.

Strings of context-free grammars, whose rules differ in length:
  context_free.py        ContextFree (the task), ContextFreeSpec, context_free.
  context_free_files.py  Plain text: parse_context_free, read_context_free,
                         write_context_free.
  normal_form.py         Rule; NormalForm, what charts read; require_rules, normal_form,
                         symbols_of, length_shares, is_terminal.
  layered_grammars.py    Those of language-model studies (arXiv 2305.13673): LayeredSpec, LAYERED,
                         layered_grammar.

Brackets (arXiv 2105.11115):
  dyck.py                DyckSpec (sizes), Dyck (the task), bounded_dyck, Nesting.

Real-valued targets:
  polynomials.py         PolynomialSpec (its kinds are POLYNOMIAL_KINDS), LowRankPolynomial (the
                         task), draw_low_rank_polynomial.
  harmonics.py           The spherical harmonics of these: num_harmonics, gegenbauer,
                         zonal_coefficients.
  staircases.py          CubePolynomial (the task), staircase, merged_staircase, parity,
                         prefix_sets, leap, fourier_basis, fourier_coefficients.
  deep_quadratics.py     DeepQuadraticSpec, DeepQuadratic (the task), draw_deep_quadratic,
                         deep_quadratic, of given terms.

Vectors of a few classes:
  orthonormal_classes.py OrthonormalClasses (the task): nearly orthonormal inputs.

What all tasks share:
  batch.py               Batch: inputs, labels and latents.
  token_objectives.py    What is asked of strings beside the class: next_token, last_token,
                         each_token, masked_tokens, sibling_token; TokenExamples,
                         NOT_ASKED.
  streams.py             Where strings of each round come from: FixedStrings, FreshStrings.
  diffusion.py           Noise on strings step by step, and back: Diffusion (its kinds are
                         DIFFUSIONS).
  splits.py              Train sets with unseen test sets: make_split, Split, check_split,
                         require_filled, contains; for train sets beyond memory,
                         unseen_candidates, MAX_DRAWS.
  rows.py                first_occurrence: equal rows of an array.
  array_files.py         pack, unpack: .npz of which nothing is executed; write_whole, replacing.

What the sampler of strings is made of, not re-exported here:
  choices.py             Many choices from one random word: random_words, word_layout,
                         read_choices, split_choices.
  tables.py              Look-ups in tables, as each platform does them fastest.
  alias.py               Unequal choices: alias_tables, choose, num_columns.
  joint_rules.py         Two levels of rules in one look-up: JointRules, joint_rules, joint_steps,
                         joint_options, joint_probabilities.
"""

from hierjax.tasks.array_files import replacing, unpack
from hierjax.tasks.batch import Batch
from hierjax.tasks.circuits import BrainDump, BrainDumpSpec, draw_brain_dump, draw_circuit
from hierjax.tasks.context_free import ContextFree, ContextFreeSpec, context_free
from hierjax.tasks.context_free_files import (
    parse_context_free,
    read_context_free,
    write_context_free,
)
from hierjax.tasks.deep_quadratics import (
    DeepQuadratic,
    DeepQuadraticSpec,
    deep_quadratic,
    draw_deep_quadratic,
)
from hierjax.tasks.diffusion import DIFFUSIONS, Diffusion
from hierjax.tasks.dyck import Dyck, DyckSpec, Nesting, bounded_dyck
from hierjax.tasks.filtered import FilteredHierarchy, check_filter
from hierjax.tasks.grammar_draws import PLAIN, TOP_RULES, GrammarDraw
from hierjax.tasks.grammar_files import load_grammar, save_grammar
from hierjax.tasks.grammars import (
    RULE_DRAWS,
    check_latin_square,
    check_rule_draw,
    draw_random_hierarchy,
    from_rules,
    latin_square_top,
)
from hierjax.tasks.harmonics import KINDS as POLYNOMIAL_KINDS
from hierjax.tasks.harmonics import gegenbauer, num_harmonics, zonal_coefficients
from hierjax.tasks.interventions import resample_rule, resample_subtree, resample_symbol
from hierjax.tasks.label_families import (
    HIERARCHY_KINDS,
    BrainDumpFamily,
    HierarchyFamily,
    LabelFamily,
)
from hierjax.tasks.label_hierarchies import REVERSIBLE, automaton, draw_reversible_hierarchy
from hierjax.tasks.label_hierarchy import (
    LabelHierarchy,
    LabelLevel,
    draw_signs,
    walsh_coefficients,
    walsh_monomials,
)
from hierjax.tasks.lattice import (
    check_lattice,
    gather_windows,
    num_locations,
    window_size,
    window_table,
)
from hierjax.tasks.layered_grammars import LAYERED, LayeredSpec, layered_grammar
from hierjax.tasks.noise import (
    Noise,
    NoisyHierarchy,
    check_noise,
    corrupt,
    label_kernel,
    leaf_kernel,
)
from hierjax.tasks.normal_form import NormalForm, Rule
from hierjax.tasks.orthonormal_classes import OrthonormalClasses
from hierjax.tasks.polynomials import (
    LowRankPolynomial,
    PolynomialSpec,
    draw_low_rank_polynomial,
)
from hierjax.tasks.ptf_hierarchy import KINDS as PTF_KINDS
from hierjax.tasks.ptf_hierarchy import PTFSpec, draw_ptf_hierarchy, require_balanced
from hierjax.tasks.random_hierarchy import RandomHierarchy, RandomHierarchySpec, symbol_dtype
from hierjax.tasks.rows import first_occurrence
from hierjax.tasks.rule_dictionaries import from_rule_dictionary
from hierjax.tasks.sparse_rules import sparse_spec, spread_children
from hierjax.tasks.splits import (
    MAX_DRAWS,
    Split,
    check_split,
    contains,
    make_split,
    require_filled,
    unseen_candidates,
)
from hierjax.tasks.staircases import (
    CubePolynomial,
    fourier_basis,
    fourier_coefficients,
    leap,
    merged_staircase,
    parity,
    prefix_sets,
    staircase,
)
from hierjax.tasks.streams import FixedStrings, FreshStrings
from hierjax.tasks.token_objectives import (
    NOT_ASKED,
    TokenExamples,
    each_token,
    last_token,
    masked_tokens,
    next_token,
    sibling_token,
)

__all__ = [
    "DIFFUSIONS",
    "HIERARCHY_KINDS",
    "LAYERED",
    "MAX_DRAWS",
    "NOT_ASKED",
    "PLAIN",
    "POLYNOMIAL_KINDS",
    "PTF_KINDS",
    "REVERSIBLE",
    "RULE_DRAWS",
    "TOP_RULES",
    "Batch",
    "BrainDump",
    "BrainDumpFamily",
    "BrainDumpSpec",
    "ContextFree",
    "ContextFreeSpec",
    "CubePolynomial",
    "DeepQuadratic",
    "DeepQuadraticSpec",
    "Diffusion",
    "Dyck",
    "DyckSpec",
    "FilteredHierarchy",
    "FixedStrings",
    "FreshStrings",
    "GrammarDraw",
    "HierarchyFamily",
    "LabelFamily",
    "LabelHierarchy",
    "LabelLevel",
    "LayeredSpec",
    "LowRankPolynomial",
    "Nesting",
    "Noise",
    "NoisyHierarchy",
    "NormalForm",
    "OrthonormalClasses",
    "PTFSpec",
    "PolynomialSpec",
    "RandomHierarchy",
    "RandomHierarchySpec",
    "Rule",
    "Split",
    "TokenExamples",
    "automaton",
    "bounded_dyck",
    "check_filter",
    "check_latin_square",
    "check_lattice",
    "check_noise",
    "check_rule_draw",
    "check_split",
    "contains",
    "context_free",
    "corrupt",
    "deep_quadratic",
    "draw_brain_dump",
    "draw_circuit",
    "draw_deep_quadratic",
    "draw_low_rank_polynomial",
    "draw_ptf_hierarchy",
    "draw_random_hierarchy",
    "draw_reversible_hierarchy",
    "draw_signs",
    "each_token",
    "first_occurrence",
    "fourier_basis",
    "fourier_coefficients",
    "from_rule_dictionary",
    "from_rules",
    "gather_windows",
    "gegenbauer",
    "label_kernel",
    "last_token",
    "latin_square_top",
    "layered_grammar",
    "leaf_kernel",
    "leap",
    "load_grammar",
    "make_split",
    "masked_tokens",
    "merged_staircase",
    "next_token",
    "num_harmonics",
    "num_locations",
    "parity",
    "parse_context_free",
    "prefix_sets",
    "read_context_free",
    "replacing",
    "require_balanced",
    "require_filled",
    "resample_rule",
    "resample_subtree",
    "resample_symbol",
    "save_grammar",
    "sibling_token",
    "sparse_spec",
    "spread_children",
    "staircase",
    "symbol_dtype",
    "unpack",
    "unseen_candidates",
    "walsh_coefficients",
    "walsh_monomials",
    "window_size",
    "window_table",
    "write_context_free",
    "zonal_coefficients",
]
