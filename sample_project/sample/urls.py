"""All addresses of the site."""

from accounts.views import registered, registration
from django.contrib import admin
from django.urls import path

from sample.views import healthz, landing, openapi

urlpatterns = [
    path("", landing, name="landing"),
    path("register/", registration, name="register"),
    path("register/done/", registered, name="registered"),
    path("healthz", healthz, name="healthz"),
    path("openapi.json", openapi, name="openapi"),
    path("admin/", admin.site.urls),
]
