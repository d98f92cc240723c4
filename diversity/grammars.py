"""What the trees need to know of each programming language: its grammar, and what its node kinds mean.

Node kinds are the grammar's own words, so they change with it: `grammar_version` enters every signature, and
`tests/test_trees.py` fails when a kind named here is not in the installed grammar.

A *place* is written ``kind:rank``: a child of a node of that kind, counted from 0 among its named children without
comments. ``kind:*`` is any child, ``kind:1+`` any but the first, ``kind:0<outer:1`` asks in addition that the
parent is such a child of `outer`; ``<outer`` alone looks through the `carriers`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

COMMENTS = r"comment$|^line_continuation$|^hash_bang_line$|^shebang$"
LITERAL_PARTS = (
    "string_start string_content string_end string_fragment multiline_string_fragment escape_sequence "
    "escape_interpolation interpreted_string_literal_content raw_string_literal_content raw_string_content "
    "raw_string_delimiter character regex_pattern regex_flags"
)
STRINGS = (
    "string string_literal template_string interpreted_string_literal raw_string_literal char_literal "
    "character_literal rune_literal regex system_lib_string template_literal_type jsx_text"
)
NUMBERS = r"^(\w+_)?(integer|float|number|int|floating_point|imaginary)(_literal)?$"
# Leaves whose text is a word of the language and not of the program; with it `int` and `float` stay apart.
CLOSED = "primitive_type type_conversion mutable_specifier fragment_specifier"
# Brackets and commas say nothing that the tree does not, save here: `x[1:]` and `x[:1]`, `int[]` and `int[][]`.
TELLING_MARKS = {
    "slice": ":",
    "slice_expression": ":",
    "for_statement": ";",
    "for_clause": ";",
    "dimensions": "[",
    "delete_expression": "[",
    "token_tree": ";",
    "array_pattern": ",",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """Facts about one language.

    Attributes
    ----------
    package, function : str
        The wheel's module and the function in it that gives the grammar.
    tags : str
        What a fence calls the language, apart by spaces.
    names, types, attributes, parameters : str
        Places where the program itself gives a name to a variable or function, a type, a field or method, a
        parameter: these names can be changed freely.
    members : str
        Places of a name after a dot; `keywords`: of an argument passed by name; `either`: a field or a variable.
    carriers : str
        Kinds to look through on the way to `outer`.
    controls : mapping of kind to word
        Kinds that steer the program.
    functions, returns, calls, imports : str
        Kinds that define a function, leave it, call one, bring in a module.
    foreign : bytes
        A pattern of what is another language's, though the parser takes it for names.
    """

    package: str
    function: str = "language"
    tags: str
    names: str
    types: str = ""
    attributes: str = ""
    parameters: str = ""
    members: str = ""
    keywords: str = ""
    either: str = ""
    carriers: str = ""
    controls: dict[str, str] = field(default_factory=dict)
    functions: str = ""
    returns: str = "return_statement"
    calls: str = "call_expression"
    imports: str = ""
    foreign: bytes = b""


def _words(**kinds: str) -> dict[str, str]:
    """Turn word="kind kind" round: the word of each kind."""
    return {kind: word.rstrip("_") for word, names in kinds.items() for kind in names.split()}


_JAVASCRIPT = Grammar(
    package="tree_sitter_javascript",
    tags="javascript js jsx mjs cjs node",
    names="variable_declarator:0 function_declaration:* function_expression:* generator_function:* "
    "generator_function_declaration:* formal_parameters:* arrow_function:0 assignment_pattern:0 array_pattern:* "
    "rest_pattern:* pair_pattern:1 for_in_statement:0 catch_clause:0 class_declaration:0 class:0 "
    "assignment_expression:0 import_specifier:1 import_clause:* namespace_import:* labeled_statement:0",
    attributes="method_definition:* field_definition:* member_expression:1<assignment_expression:0",
    controls=_words(
        for_="for_statement for_in_statement",
        while_="while_statement do_statement",
        if_="if_statement",
        try_="try_statement",
        with_="with_statement",
        match="switch_statement",
    ),
    functions="function_declaration function_expression generator_function generator_function_declaration "
    "arrow_function method_definition",
    calls="call_expression new_expression",
    imports="import_statement",
)
_TYPESCRIPT: dict[str, Any] = {
    "names": _JAVASCRIPT.names + " required_parameter:* optional_parameter:* enum_declaration:*",
    "types": "class_declaration:* abstract_class_declaration:* interface_declaration:* type_alias_declaration:0 "
    "type_parameter:0",
    "attributes": "method_definition:* public_field_definition:* property_signature:* method_signature:* "
    "abstract_method_signature:* enum_body:* enum_assignment:0 member_expression:1<assignment_expression:0",
    "controls": _JAVASCRIPT.controls,
    "functions": _JAVASCRIPT.functions,
    "calls": _JAVASCRIPT.calls,
    "imports": _JAVASCRIPT.imports,
}
_C_NAMES = (
    "function_declarator:0 init_declarator:0 pointer_declarator:* array_declarator:0 parenthesized_declarator:* "
    "parameter_declaration:* declaration:* enumerator:0 preproc_def:0 preproc_function_def:0 preproc_params:* "
    "labeled_statement:0"
)
_C_TYPES = (
    "struct_specifier:0 union_specifier:0 enum_specifier:0 type_definition:1+ pointer_declarator:* "
    "array_declarator:0 function_declarator:0 parenthesized_declarator:*"
)
_C_ATTRIBUTES = "field_declaration:* pointer_declarator:* array_declarator:0 function_declarator:0"
_C_CONTROLS = _words(
    for_="for_statement", while_="while_statement do_statement", if_="if_statement", match="switch_statement"
)

# In the order in which `detect` prefers them where several fit.
GRAMMARS: dict[str, Grammar] = {
    "python": Grammar(
        package="tree_sitter_python",
        tags="python py python3 py3 python2",
        names="function_definition:0 class_definition:0 parameters:* lambda_parameters:* default_parameter:0 "
        "typed_parameter:0 typed_default_parameter:0 list_splat_pattern:* dictionary_splat_pattern:* "
        "assignment:0 for_statement:0 for_in_clause:0 pattern_list:* tuple_pattern:* list_pattern:* "
        "as_pattern_target:* tuple:*<as_pattern_target:* named_expression:0 aliased_import:1 splat_pattern:* "
        "as_pattern:1 dotted_name:*<case_pattern:*",
        attributes="attribute:1<assignment:0 attribute:1<pattern_list:* function_definition:0<class_definition "
        "assignment:0<class_definition",
        parameters="parameters:* default_parameter:0 typed_parameter:0 typed_default_parameter:0",
        members="attribute:1 keyword_pattern:0",
        keywords="keyword_argument:0",
        carriers="block decorated_definition expression_statement",
        controls=_words(
            for_="for_statement",
            while_="while_statement",
            if_="if_statement",
            elif_="elif_clause",
            try_="try_statement",
            with_="with_statement",
            match="match_statement",
            comprehension="list_comprehension set_comprehension dictionary_comprehension generator_expression",
        ),
        functions="function_definition lambda",
        calls="call",
        imports="import_statement import_from_statement future_import_statement",
    ),
    "javascript": _JAVASCRIPT,
    "typescript": Grammar(
        package="tree_sitter_typescript", function="language_typescript", tags="typescript ts mts cts", **_TYPESCRIPT
    ),
    "tsx": Grammar(package="tree_sitter_typescript", function="language_tsx", tags="tsx", **_TYPESCRIPT),
    "go": Grammar(
        package="tree_sitter_go",
        tags="go golang",
        names="function_declaration:* parameter_declaration:* variadic_parameter_declaration:* var_spec:* "
        "const_spec:* expression_list:*<short_var_declaration:0 expression_list:*<range_clause:0 "
        "expression_list:*<type_switch_statement:0 expression_list:*<receive_statement:0 "
        "type_parameter_declaration:* labeled_statement:0",
        types="type_spec:0 type_alias:0",
        attributes="field_declaration:* method_declaration:* method_elem:*",
        either="literal_element:*<keyed_element:0",
        controls=_words(
            for_="for_statement",
            if_="if_statement",
            match="expression_switch_statement type_switch_statement select_statement",
        ),
        functions="function_declaration method_declaration func_literal",
        imports="import_spec",
    ),
    "rust": Grammar(
        package="tree_sitter_rust",
        tags="rust rs",
        names="function_item:* let_declaration:0 parameter:0 closure_parameters:* tuple_pattern:* "
        "tuple_struct_pattern:1+ slice_pattern:* ref_pattern:* mut_pattern:* reference_pattern:* "
        "captured_pattern:0 or_pattern:* for_expression:0 match_pattern:* field_pattern:1+ const_item:* "
        "static_item:* mod_item:* macro_definition:0 const_parameter:0 use_as_clause:1 lifetime:* label:* "
        "enum_variant:*",
        types="struct_item:* enum_item:* union_item:* type_item:* trait_item:* type_parameter:* associated_type:*",
        attributes="field_declaration:* function_item:*<impl_item function_item:*<trait_item "
        "function_signature_item:*<trait_item",
        carriers="declaration_list",
        controls=_words(
            for_="for_expression",
            while_="while_expression loop_expression",
            if_="if_expression",
            try_="try_block",
            match="match_expression",
        ),
        functions="function_item closure_expression",
        returns="return_expression",
        calls="call_expression macro_invocation",
        imports="use_declaration",
    ),
    "c": Grammar(
        package="tree_sitter_c",
        tags="c h",
        names=_C_NAMES,
        types=_C_TYPES,
        attributes=_C_ATTRIBUTES,
        controls=_C_CONTROLS,
        functions="function_definition",
        imports="preproc_include",
        # Read as a function without parameters.
        foreign=rb"(?m)^[ \t]*(?:\w+[ \t]+){0,4}class[ \t]+\w",
    ),
    "java": Grammar(
        package="tree_sitter_java",
        tags="java",
        names="variable_declarator:0 formal_parameter:* method_declaration:* constructor_declaration:* "
        "compact_constructor_declaration:* class_declaration:* interface_declaration:* enum_declaration:* "
        "record_declaration:* enhanced_for_statement:1 lambda_expression:0 inferred_parameters:* "
        "catch_formal_parameter:* resource:* instanceof_expression:2 type_pattern:* record_pattern_component:* "
        "enum_constant:0 labeled_statement:0",
        types="type_parameter:*",
        attributes="method_declaration:* variable_declarator:0<field_declaration:* enum_constant:0 "
        "formal_parameter:*<record_declaration",
        members="field_access:1 method_invocation:1 method_reference:1",
        carriers="formal_parameters",
        controls=_words(
            for_="for_statement enhanced_for_statement",
            while_="while_statement do_statement",
            if_="if_statement",
            try_="try_statement try_with_resources_statement",
            match="switch_expression",
        ),
        functions="method_declaration constructor_declaration lambda_expression",
        calls="method_invocation object_creation_expression",
        imports="import_declaration",
    ),
    "cpp": Grammar(
        package="tree_sitter_cpp",
        tags="cpp c++ cc cxx hpp h++ hh",
        names=_C_NAMES + " reference_declarator:* structured_binding_declarator:* optional_parameter_declaration:1 "
        "for_range_loop:1 lambda_capture_initializer:0 namespace_definition:0 namespace_alias_definition:0 "
        "variadic_declarator:* concept_definition:0",
        types=_C_TYPES + " class_specifier:0 alias_declaration:0 type_parameter_declaration:* "
        "optional_type_parameter_declaration:0 variadic_type_parameter_declaration:* reference_declarator:*",
        attributes=_C_ATTRIBUTES + " reference_declarator:*",
        controls=_C_CONTROLS | _words(for_="for_range_loop", try_="try_statement"),
        functions="function_definition lambda_expression",
        calls="call_expression new_expression",
        imports="preproc_include using_declaration",
    ),
}
TAGS = {tag: language for language, grammar in GRAMMARS.items() for tag in grammar.tags.split()}
AUTO = "auto"
