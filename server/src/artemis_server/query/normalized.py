"""Filters without their values, for the log, which has the structure of a filter and nothing that a caller wrote."""

from artemis_server.query.tree import ALWAYS, And, Compare, HasEtag, Matches, Node, Not, Or, Present


def normalized(node: Node) -> str:  # noqa: PLR0911, one for each kind of node
    """Returns the text of a tree with `?` for each value; empty for the filter that chooses everything.

        category = "talk" "Ada"         category = ? AND (name : ? OR description : ?)
        name = "Ada*" AND NOT id < 7    name = ?* AND NOT id < ?

    A comparison that no stored value can fulfil is `never`, such as one with a time of finer digits than they have.
    """
    match node:
        case And(terms):
            return " AND ".join(map(_operand, terms))
        case Or(terms):
            return " OR ".join(map(_operand, terms)) or "never"
        case Not(term):
            return f"NOT {_operand(term)}"
        case Compare(field, operator):
            return f"{field} {operator.value} ?"
        case HasEtag():
            return "etag = ?"
        case Present(field):
            return f"{field} : *"
        case Matches():
            return _match(node)


def _operand(node: Node) -> str:
    """Returns the text of a part of a tree, in parentheses if it has several parts itself."""
    if node == ALWAYS:
        return "always"
    text = normalized(node)
    return f"({text})" if isinstance(node, And | Or) and len(node.terms) > 1 else text


def _match(node: Matches) -> str:
    if node.open_start and node.open_end:
        return f"{node.field} : ?"
    return f"{node.field} = {'*' * node.open_start}?{'*' * node.open_end}"
