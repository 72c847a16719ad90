"""The pages' templates: HTML files beside this one, and the filters that they may use."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from cuvee.corpus import figures


def environment() -> Environment:
    """Return Jinja with escaping on and an unknown name an error."""
    made = Environment(
        loader=PackageLoader("cuvee.corpus", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "amount": figures.amount,
        "count": figures.count,
        "size": figures.size,
        "share": figures.share,
        "shape": figures.shape,
        "place": figures.place,
        "plain": figures.plain,
    }
    return made
