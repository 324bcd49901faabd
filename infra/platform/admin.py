"""Set the administrator's password to that of .env. Runs in the server's container.

A restored database has the passwords of the time of its backup.
"""

from __future__ import annotations

from typing import Any

from mlflow.server.auth.config import read_auth_config
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

config = read_auth_config()
assert config.admin_username
assert config.admin_password
store: Any = SqlAlchemyStore()
store.init_db(config.database_uri)
if store.has_user(config.admin_username):
    store.update_user(config.admin_username, config.admin_password, is_admin=True)
