"""What Django's error reports leave out, beside what it leaves out itself."""

import re

from django.views.debug import SafeExceptionReporterFilter


class Filter(SafeExceptionReporterFilter):
    """Hides the gate's own secrets too."""

    hidden_settings = re.compile(f"{SafeExceptionReporterFilter.hidden_settings.pattern}|PEPPER|DATABASE_URL", re.I)
