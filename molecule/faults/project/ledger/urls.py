"""Where the site answers."""

from django.urls import path
from jobs import views

urlpatterns = [path("jobs/", views.accept), path("healthz", views.healthz)]
