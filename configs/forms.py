"""The base of every piece of a recipe, and the forms of its values."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from cuvee.configs.counts import parse_count

Count = Annotated[int, BeforeValidator(parse_count), Field(ge=0)]
PositiveCount = Annotated[int, BeforeValidator(parse_count), Field(gt=0)]
# A name becomes a folder, a column and a part of SQL, so it is kept to what is safe in all three.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
# A source, or a view of one: the label behind the @ is for people.
PoolName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(@[A-Za-z0-9_]+)?$")]
Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """The base of every piece of a recipe: frozen, and an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
