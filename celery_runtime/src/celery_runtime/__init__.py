"""What a deployed Celery and Django project runs with on a plain host.

`celery_runtime.settings` is the Django settings module of every process of a deployment: it takes the project's own settings and lays the
operational ones of the deployment over them, from one file. `celery_runtime.parts` lists what is added to stock Celery.
"""
