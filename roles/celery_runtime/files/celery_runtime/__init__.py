"""What a deployed Celery and Django project runs with on a plain host.

The package lies beside the project in a release. `celery_runtime.settings` is the Django settings module of every unit and
operator command: it takes the project's own settings and lays the operational ones of the deployment over them, from one file.
"""
