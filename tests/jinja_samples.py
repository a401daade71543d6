"""Random small chat templates, drawn from a grammar that covers what templates in use do. Not in it, because retort
answers with an error or earlier than Python: printing functions and views, generators
that nobody reads, and slices of constants (which Jinja2 folds by other rules than it runs)."""

NAMES = ["messages", "tools", "n", "x", "s", "d", "flag", "missing", "m", "bos_token"]
TEXTS = ["''", "'a'", '"<b> & \\"c\\""', "'x-y z'", "'\\n'", "'é中'", "'role'", "'  pad '"]
FILTERS = ["upper", "lower", "trim", "length", "tojson", "string", "first", "last", "list", "safe", "e", "default('?')",
           "join('-')", "replace('a', '<')", "int", "capitalize", "title", "reverse", "sort", "map('upper') | list",
           "tojson(indent=2)", "selectattr('role') | list", "map(attribute='role') | list", "rejectattr('content') | list", "abs",
           "items | list",
           "unique | list", "float", "round(1)", "indent(2)", "format(1)", "d(0, true)", "list | tojson", "count",
           "truncate(5, true, '', 0)", "center(9)", "slice(2) | list", "wordwrap(4)", "forceescape", "indent('> ', true)"]
METHODS = [".strip()", ".upper()", ".split('a')", ".startswith('a')", ".replace('a', '<i>')", ".lower()",
           ".get('role')", ".role", "['content']", "[0]", "[-1]", ".join(['<', 'b'])", ".content",
           ".title()", ".lstrip('a')", ".rsplit('-', 1)", ".foo", ".find('a')", ".count('a')",
           ".center(7, '*')", ".splitlines()", ".rjust(4)", ".swapcase()", ".find('a', 1)", ".rsplit(none, 1)", ".endswith('a', -3, 9)"]
TESTS = ["defined", "none", "string", "mapping", "iterable", "number", "sequence", "true", "escaped", "integer",
         "not defined", "not none", "eq('a')", "in ['a', 1]", "boolean", "undefined", "float"]
BINARY = ["+", "-", "*", "~", "%", "//", "/", "==", "!=", "<", ">=", "and", "or", "in", "not in", "~", "+", "+"]


def expression(rng, depth):
    if depth <= 0 or rng.random() < 0.15:
        return rng.choice([rng.choice(NAMES), rng.choice(TEXTS), str(rng.randint(-2, 5)), "true", "none", "1.5"])
    kind = rng.randrange(9)
    inner = expression(rng, depth - 1)
    if kind == 0:
        return f"({inner} {rng.choice(BINARY)} {expression(rng, depth - 1)})"
    if kind == 1:
        return f"({inner} | {rng.choice(FILTERS)})"
    if kind == 2:
        return f"({inner}){rng.choice(METHODS)}"
    if kind == 3:
        return f"({inner} is {rng.choice(TESTS)})"
    if kind == 4:
        return f"({inner} if {expression(rng, depth - 2)} else {expression(rng, depth - 2)})"
    if kind == 5:
        return f"[{inner}, {expression(rng, depth - 2)}]"
    if kind == 6:
        return f"{{'role': {inner}, 'k': {expression(rng, depth - 2)}}}"
    if kind == 7:
        return f"(not {inner})"
    return rng.choice(["s[1:]", "messages[::-1]", "s[-3:2]", f"(messages | map(attribute='{rng.choice(['role', 'content', 'no'])}') | list)",
                       f"messages[{rng.randint(-3, 3)}].{rng.choice(['role', 'content', 'no'])}", f"range({inner}) | list",
                       f"namespace(a={inner}).a", f"dict(a={inner})", f"('%s and %s' % ({inner}, 1))"])


def space(rng):
    return rng.choice(["", "", " ", "\n", "  \n", "\n  ", " t ", "\n\n"])


def tag(rng, body):
    return "{%" + rng.choice(["", "", "-", "+"]) + " " + body + " " + rng.choice(["", "", "-"]) + "%}"


def statement(rng, depth):
    kind = rng.randrange(10) if depth > 0 else rng.randrange(4)

    def body():
        return statements(rng, depth - 1)

    def e():
        return expression(rng, rng.randint(0, 2))
    if kind < 2:
        return "{{" + rng.choice(["", "-"]) + " " + expression(rng, rng.randint(0, 3)) + " " + rng.choice(["", "-"]) + "}}"
    if kind == 2:
        return tag(rng, f"set {rng.choice(['x', 's', 'y'])} = {e()}")
    if kind == 3:
        return rng.choice(["{# note #}", "{#- note -#}", "text", "{{ x }}"])
    if kind == 4:
        return tag(rng, f"if {e()}") + body() + tag(rng, f"elif {e()}") + body() + tag(rng, "else") + body() + tag(rng, "endif")
    if kind == 5:
        loop = rng.choice(["loop.index", "loop.first", "loop.last", "loop.length", "loop.index0", "loop.previtem", "m.role"])
        condition = rng.choice(["", "", " if m.role == 'user'"])
        stop = tag(rng, "if loop.index > 1") + tag(rng, rng.choice(["break", "continue"])) + tag(rng, "endif")
        return (tag(rng, f"for m in {rng.choice(['messages', 'messages', e()])}{condition}") + body() + f"{{{{ {loop} }}}}" +
                rng.choice(["", stop]) + body() + tag(rng, "else") + body() + tag(rng, "endfor"))
    if kind == 6:
        call = rng.choice(["f(1)", "f(1, 2)", "f(a=x)", "f()", "f(1, 2, 3)", "f(1, c=2)", "f(1, a=2)"])
        use = rng.choice(["", "{{ varargs }}", "{{ kwargs | length }}", "{{ caller() }}"])
        return (tag(rng, "macro f(a, b='d')") + "{{ a }}{{ b }}" + use + body() + tag(rng, "endmacro") +
                rng.choice([f"{{{{ {call} }}}}", tag(rng, f"call {call}") + body() + tag(rng, "endcall")]))
    if kind == 7:
        return tag(rng, "set y") + body() + tag(rng, "endset") + "{{ y }}"
    if kind == 8:
        return (tag(rng, f"set ns = namespace(v={e()})") + tag(rng, "for i in range(3)") + tag(rng, f"set ns.v = {e()}") +
                tag(rng, "endfor") + "{{ ns.v }}")
    return tag(rng, f"filter {rng.choice(['upper', 'trim', 'e'])}") + body() + tag(rng, "endfilter")


def statements(rng, depth):
    return "".join(space(rng) + statement(rng, depth) for _ in range(rng.randint(1, 3))) + space(rng)
