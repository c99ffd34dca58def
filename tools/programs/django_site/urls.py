from django.contrib import admin
from django.shortcuts import render
from django.urls import path

from django_site.models import Word


def words(request):
    return render(request, "words.html", {"words": Word.objects.all()})


urlpatterns = [path("", words), path("admin/", admin.site.urls)]
