import jinja2

environment = jinja2.Environment(loader=jinja2.PackageLoader(__name__, "pages"))
