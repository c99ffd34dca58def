# requires: jedi
import jedi

found = jedi.Script("import json; json.lo").complete(1, 20)
assert [completion.name for completion in found] == ["load", "loads"]
assert jedi.Script("''.upp").complete()[0].name == "upper"
