"""Weblate's example of settings, and what one changes in a copy of it, as Weblate's page of installation says.

What the example computes from the site's name or the folder of data, it computed from its own: so that is said here again.
"""

import os

from weblate.settings_example import *  # noqa: F403 (all of it, as settings are laid over settings)
from weblate.settings_example import (
    CACHES,
    INSTALLED_APPS,
    LOGGING,
    SILENCED_SYSTEM_CHECKS,
    SITE_TITLE,
    STATIC_URL,
    STORAGES,
    get_spectacular_settings,
)

DEBUG = False
SITE_DOMAIN = os.environ["SITE_DOMAIN"]
ENABLE_HTTPS = True
SITE_URL = f"https://{SITE_DOMAIN}"
ADMINS = (("Admin", os.environ["ADMIN_MAIL"]),)

# A folder that outlives releases; see stack_writable_folders.
DATA_DIR = os.environ["STACK_FOLDER_DATA"]
CACHE_DIR = f"{DATA_DIR}/cache"
CACHES["avatar"]["LOCATION"] = f"{CACHE_DIR}/avatar"

STORAGES["staticfiles"]["BACKEND"] = "weblate.utils.static.WeblateManifestStaticFilesStorage"
# The example's hang on DEBUG, which is on in it.
for logger in ("weblate", "weblate.vcs", "social"):
    LOGGING["loggers"][logger]["level"] = "INFO"
SPECTACULAR_SETTINGS = get_spectacular_settings(INSTALLED_APPS, SITE_URL, SITE_TITLE, static_url=STATIC_URL)
OTP_WEBAUTHN_RP_ID = SITE_DOMAIN.split(":", 1)[0]
OTP_WEBAUTHN_ALLOWED_ORIGINS = [SITE_URL]
SOCIAL_AUTH_REDIRECT_IS_HTTPS = True
LANGUAGE_COOKIE_SECURE = True
# It wants to start a program that it has written, which a service can't; README.md says what that costs.
SILENCED_SYSTEM_CHECKS = [*SILENCED_SYSTEM_CHECKS, "weblate.C044"]
