# requires: pydantic
import pydantic


class Order(pydantic.BaseModel):
    count: int
    name: str = "x"


assert Order(count="3").model_dump() == {"count": 3, "name": "x"}
try:
    Order(count="no")
except pydantic.ValidationError as exc:
    assert exc.error_count() == 1
