# requires: lxml
from lxml import etree, html, isoschematron

assert etree.fromstring("<a><b/></a>").xpath("count(//b)") == 1.0
assert html.fromstring("<p>x").text == "x"
rules = "<schema xmlns='http://purl.oclc.org/dsdl/schematron'><pattern><rule context='a'><assert test='b'/></rule></pattern></schema>"
assert isoschematron.Schematron(etree.fromstring(rules)).validate(etree.fromstring("<a><b/></a>"))
