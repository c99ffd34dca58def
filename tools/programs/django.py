# requires: django
# folder: django_site
"""Migrations, templates, static files, translations, and a request through the test client."""

import os
import sys

os.environ["DJANGO_SETTINGS_MODULE"] = "django_site.settings"
import django

django.setup()
from django.contrib.auth.password_validation import CommonPasswordValidator
from django.contrib.staticfiles import finders
from django.core.management import call_command, get_commands
from django.test import Client
from django.utils import translation

assert "migrate" in get_commands()
call_command("migrate", verbosity=0, stdout=sys.stderr)
from django_site.models import Word

Word.objects.create(text="hello")
assert Client().get("/").content.decode() == "<p>hello</p>\n"
assert Client().get("/admin/login/").status_code == 200
with open(finders.find("django_site/style.css")) as file:
    assert file.read() == "p { color: green }\n"
assert finders.find("admin/css/base.css")
translation.activate("de")
assert translation.gettext("Yes") == "Ja"
assert CommonPasswordValidator().passwords
