"""What `run.py up` does before anything is served."""

import json

from serve import _password


def test_the_password_is_made_once_and_is_its_owners_alone(tmp_path):
    file = tmp_path / "login.json"
    password = _password(file)
    assert len(password) >= 16 and _password(file) == password == json.loads(file.read_text())["password"]
    assert file.stat().st_mode & 0o777 == 0o600
