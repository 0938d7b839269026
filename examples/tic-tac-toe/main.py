"""Tic-tac-toe between two people, as one would write it for App Engine.

Nothing in this file knows of Headrace.
"""

import json
import os
from secrets import token_hex
from threading import Lock

from flask import Flask, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from google.appengine.api import channel

GAMES_MAX = 10_000
LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))

app = Flask(__name__)
# Where the page finds the script, if that is another origin.
app.jinja_env.globals["channel_origin"] = os.environ.get("CHANNEL_ORIGIN", "")


class Game:
    """Two seats and a board. Whoever knows a seat's secret address plays there."""

    def __init__(self) -> None:
        self.key = token_hex(4)
        self.lock = Lock()
        self.seats = {"X": token_hex(8)}
        self.present: set[str] = set()
        self.score = {"X": 0, "O": 0}
        self.version = 0
        self.first = "X"
        self.clear()

    def clear(self) -> None:
        self.board = [""] * 9
        self.turn = self.first
        self.winner = ""
        self.line: tuple[int, ...] = ()

    def move(self, mark: str, cell: int) -> None:
        """Put a mark on an empty cell; ValueError where that is against the rules."""
        is_turn = mark == self.turn and len(self.seats) == 2 and not self.winner
        if not is_turn or cell not in range(9) or self.board[cell]:
            raise ValueError
        self.board[cell] = mark
        self.turn = other(mark)
        for line in LINES:
            if all(self.board[each] == mark for each in line):
                self.winner, self.line = mark, line
                self.score[mark] += 1
        if not self.winner and all(self.board):
            self.winner = "nobody"

    def again(self) -> None:
        """Begin again, when the game is over; now the other one begins."""
        if self.winner:
            self.first = other(self.first)
            self.clear()

    def state(self) -> str:
        """Return what both players are told; a page ignores a version older than what it shows."""
        return json.dumps(
            {
                "version": self.version,
                "board": self.board,
                "turn": self.turn,
                "winner": self.winner,
                "line": self.line,
                "score": self.score,
                "seats": [*self.seats],
                "present": [*self.present],
            }
        )

    def tell(self) -> None:
        """Send the state to both players, after each change and under the same lock."""
        self.version += 1
        for mark in self.seats:
            channel.send_message(f"{self.key}-{mark}", self.state())


def other(mark: str) -> str:
    return "O" if mark == "X" else "X"


games: dict[str, Game] = {}  # on App Engine they were in the datastore


def find(key: str, seat: str) -> tuple[Game, str]:
    """Return the game and the mark that is played from a seat; 404 where there is none."""
    game = games.get(key) or abort(404)
    marks = [mark for mark, secret in game.seats.items() if secret == seat] or abort(404)
    return game, marks[0]


# --- pages ----------------------------------------------------------------------------------------


@app.get("/")
def lobby() -> ResponseReturnValue:
    return render_template("lobby.html", task="new")


@app.post("/")
def new() -> ResponseReturnValue:
    game = Game()
    games[game.key] = game
    if len(games) > GAMES_MAX:
        del games[next(iter(games))]
    return redirect(url_for("play", key=game.key, seat=game.seats["X"]), 303)


@app.get("/<key>")
def invitation(key: str) -> ResponseReturnValue:
    game = games.get(key)
    task = "gone" if game is None else "join" if len(game.seats) < 2 else "full"
    return render_template("lobby.html", task=task), 404 if game is None else 200


@app.post("/<key>")
def join(key: str) -> ResponseReturnValue:
    game = games.get(key) or abort(404)
    with game.lock:
        if len(game.seats) == 2:
            return redirect(url_for("invitation", key=key), 303)
        game.seats["O"] = token_hex(8)
        game.tell()
    return redirect(url_for("play", key=key, seat=game.seats["O"]), 303)


@app.get("/<key>/<seat>")
def play(key: str, seat: str) -> ResponseReturnValue:
    game, mark = find(key, seat)
    link = url_for("invitation", key=key, _external=True)
    return render_template("game.html", mark=mark, link=link, at=f"/{game.key}/{seat}")


# --- what a page asks -----------------------------------------------------------------------------


@app.post("/<key>/<seat>/channel")
def open_channel(key: str, seat: str) -> ResponseReturnValue:
    game, mark = find(key, seat)
    token = channel.create_channel(f"{key}-{mark}")  # first: what is sent from now on is not lost
    with game.lock:
        return {"token": token, "state": game.state()}


@app.post("/<key>/<seat>/move")
def move(key: str, seat: str) -> ResponseReturnValue:
    game, mark = find(key, seat)
    with game.lock:
        try:
            game.move(mark, int(request.form["cell"]))
        except ValueError:
            abort(409)
        game.tell()
    return "", 204


@app.post("/<key>/<seat>/again")
def again(key: str, seat: str) -> ResponseReturnValue:
    game, _ = find(key, seat)
    with game.lock:
        game.again()
        game.tell()
    return "", 204


# --- what App Engine told, and Headrace tells -----------------------------------------------------


@app.post("/_ah/channel/<event>/")
def presence(event: str) -> ResponseReturnValue:
    key, _, mark = request.form["from"].rpartition("-")
    game = games.get(key)
    if game is not None:
        with game.lock:
            if event == "connected":
                game.present.add(mark)
            elif event == "disconnected":
                game.present.discard(mark)
            game.tell()
    return "", 204
