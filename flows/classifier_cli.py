"""The command line of classifiers: `cuvee classifier train` and `cuvee classifier eval`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Train a classifier, or see how it does.")

Files = Annotated[
    list[str],
    typer.Option(
        metavar="FILE",
        help="Documents of this class, .jsonl or .parquet (.gz, .zst); a path or a pattern. "
        "May be given several times.",
    ),
]
Label = Annotated[str, typer.Option(help="What the score is the probability of.")]
TextField = Annotated[str, typer.Option(help="The field that holds the text; may be dotted.")]


@app.command()
def train(
    positive: Files,
    negative: Files,
    out: Annotated[Path, typer.Option(help="The model to write, such as quality.bin.")],
    label: Label = "hq",
    text_field: TextField = "text",
    documents: Annotated[int, typer.Option(min=1, help="Documents a class, at most.")] = 4000,
    epochs: Annotated[
        int, typer.Option(min=1, max=2**31 - 1, help="Times that each document is seen.")
    ] = 5,
    lr: Annotated[float, typer.Option(help="Learning rate, above 0 and up to 10.")] = 0.5,
    dim: Annotated[int, typer.Option(min=1, max=1024, help="Numbers of a vector.")] = 16,
    word_ngrams: Annotated[
        int, typer.Option(min=1, max=16, help="Words of the longest word n-gram; 1 is none.")
    ] = 2,
    seed: Annotated[
        int, typer.Option(min=1, max=2**31 - 1, help="Of the vectors that training begins with.")
    ] = 1,
) -> None:
    """Train a fastText model, and write beside it what it was made of and how it does."""
    from cuvee.filters.classifier import Training
    from cuvee.flows import classifier_commands as commands

    files = commands.Labelled(positive, negative, label, text_field)
    params = Training(lr, epochs, dim, word_ngrams, seed=seed)
    commands.train(files, out, documents, params)


@app.command(name="eval")
def evaluate(
    model: Annotated[Path, typer.Argument(help="A fastText model that knows the label.")],
    positive: Files,
    negative: Files,
    label: Label = "hq",
    text_field: TextField = "text",
) -> None:
    """Show how well a model tells documents apart: figures, thresholds, the worst confusions."""
    from cuvee.flows import classifier_commands as commands

    commands.evaluate(model, commands.Labelled(positive, negative, label, text_field))
