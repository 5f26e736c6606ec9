"""Where the site answers."""

from django.urls import path

from . import views

urlpatterns = [
    path("pulse", views.pulse),
    path("", views.title),
    path("send/<name>", views.send),
    path("outcome/<task_id>", views.outcome),
    path("weigh", views.weigh),
    path("spoil", views.spoil),
    path("picture/<name>", views.picture),
    path("divide/<int:number>", views.divide),
]
