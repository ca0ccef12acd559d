"""Read by mypy and pyright, and never run: every line marked "refused", and no other, is a mistake.

See test_type_checkers.py, which compares. The checks of the project leave this file out.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from TetherDB import DB
from TetherDB.types import Config, LocalConfig

unknown_key: LocalConfig = {"filepth": "shop"}  # refused
unknown_section: Config = {"dynamo": {}}  # refused
no_word: Config = {"local": {"synchronous": "ful"}}  # refused
no_number: Config = {"etcd": {"port": "2379"}}  # refused
no_list: Config = {"etcd": {"endpoints": "a:2379"}}  # refused
no_table: Config = {"dynamodb": {"region": "eu-central-1"}}  # refused

DB(3)  # refused
DB(["shop.json"])  # refused
DB(config_file={"local": {}})  # refused
DB(on_error=lambda key: None)  # refused

db = DB()
db.write_message("k", ["v"])  # refused
db.write_message(1, "v")  # refused
read_only: MappingProxyType[str, int] = MappingProxyType({"n": 1})
db.write_message("k", read_only)  # refused
db.update_message("k", UserDict({"n": 1}))  # refused
db.write_messages({"k": read_only})  # refused
db.write_message("k", "v", "b", "local", True, False)  # refused
db.write_messages({"k": 1})  # refused
db.read_messages(["a", 1])  # refused
db.write_queue_message("k", "v", receipt=True).pending()  # refused
db.flush("1s")  # refused
db.missing_verb()  # refused

text: str = db.read_message("k", default="")  # refused
number: int = db.read_message("k", default=0)  # refused
answer: bool = db.write_queue_message("k", "v", receipt=True)  # refused
db.list_keys()["messages"]  # refused
db.stats()["local"]["lost"]  # refused


@db.tether  # refused
def gives_a_list(name: str) -> list[str]:
    return [name]


@db.tether("users")  # refused
def gives_a_text(name: str) -> str:
    return name


@db.tether("users")  # refused
def gives_a_mapping(name: str) -> Mapping[str, str]:
    return {"value": name}


@db.tether(key="k")  # refused
def gives_nothing() -> None: ...


@db.tether  # refused
async def gives_a_number_later() -> int:
    return 1


@db.tether("users")  # refused
async def gives_a_list_later() -> list[str]:
    return []


@db.tether(buckt="users")  # refused
def misspelt() -> dict[str, Any]:
    return {}


@db.tether
def create(name: str, age: int = 0) -> dict[str, Any]:
    return {"key": name, "value": {"age": age}}


@db.tether("users")
async def remember(name: str) -> dict[str, Any]:
    return {"value": name}


class Users:
    @db.tether("users")
    def create(self, name: str) -> dict[str, Any]:
        return {"value": name}


create()  # refused
create(1)  # refused
create("alice", years=3)  # refused
create("alice")["key"]  # refused
Users().create()  # refused
Users().create("alice", "bob")  # refused
remember(1)  # refused


async def main() -> None:
    stored: str = await remember("alice")  # refused
    print(stored)
