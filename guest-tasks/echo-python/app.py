"""Gives back what it is given: values of every shape pass through Python unharmed (wit/echo.wit)."""

import sys

import wit_world
from componentize_py_types import Err


class WitWorld(wit_world.WitWorld):
    def echo(self, value: wit_world.Drawing) -> wit_world.Drawing:
        return value

    def checked(self, value: wit_world.Drawing) -> wit_world.Drawing:
        if not value.title:
            print("refused: a drawing without a title", file=sys.stderr)
            raise Err("the drawing has no title")
        return value

    def greet(self, name: str, times: int) -> str:
        if not name:
            raise ValueError("nobody to greet")
        print(f"greeting {name}")
        return " ".join([f"hello, {name}!"] * times)
