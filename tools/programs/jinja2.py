# requires: jinja2
# folder: jinja_pages
import jinja2

environment = jinja2.Environment(loader=jinja2.PackageLoader("jinja_pages", "pages"))
assert environment.list_templates() == ["page.txt"]
assert environment.get_template("page.txt").render(x=1) == "x is 1"
