"""Tic-tac-toe for two people, as it would be written for App Engine.

This file does not use Headrace directly; see `wsgi.py`.
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
# The origin of the channel's script, if it is not the page's own.
app.jinja_env.globals["channel_origin"] = os.environ.get("CHANNEL_ORIGIN", "")


class Game:
    """A board and two players. Each player has a secret URL."""

    def __init__(self) -> None:
        self.key = token_hex(4)
        self.lock = Lock()
        self.secrets = {"X": token_hex(8)}  # by mark; in the players' URLs
        self.online: set[str] = set()  # marks
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
        """Put a mark on an empty cell; raise ValueError if the rules do not allow it."""
        is_turn = mark == self.turn and len(self.secrets) == 2 and not self.winner
        if not is_turn or cell not in range(9) or self.board[cell]:
            raise ValueError
        self.board[cell] = mark
        self.turn = other(mark)
        for line in LINES:
            if all(self.board[position] == mark for position in line):
                self.winner, self.line = mark, line
                self.score[mark] += 1
        if not self.winner and all(self.board):
            self.winner = "draw"

    def restart(self) -> None:
        """Start the next round if this one is over; the other player begins."""
        if self.winner:
            self.first = other(self.first)
            self.clear()

    def state(self) -> str:
        """Return the state as JSON; a page ignores one with an older version than it displays."""
        return json.dumps(
            {
                "version": self.version,
                "board": self.board,
                "turn": self.turn,
                "winner": self.winner,
                "line": self.line,
                "score": self.score,
                "players": [*self.secrets],
                "online": [*self.online],
            }
        )

    def send_state(self) -> None:
        """Send the state to the players; call it after each change, with the lock held."""
        self.version += 1
        for mark in self.secrets:
            channel.send_message(f"{self.key}-{mark}", self.state())


def other(mark: str) -> str:
    return "O" if mark == "X" else "X"


games: dict[str, Game] = {}  # on App Engine they would be in the datastore


def find_player(key: str, secret: str) -> tuple[Game, str]:
    """Return the game and the mark of the player with this secret; respond with 404 if unknown."""
    game = games.get(key) or abort(404)
    marks = [mark for mark, known in game.secrets.items() if known == secret] or abort(404)
    return game, marks[0]


# --- pages ----------------------------------------------------------------------------------------


@app.get("/")
def start_page() -> ResponseReturnValue:
    return render_template("start.html", task="new")


@app.post("/")
def create_game() -> ResponseReturnValue:
    game = Game()
    games[game.key] = game
    if len(games) > GAMES_MAX:
        del games[next(iter(games))]
    return redirect(url_for("play", key=game.key, secret=game.secrets["X"]), 303)


@app.get("/<key>")
def invitation(key: str) -> ResponseReturnValue:
    game = games.get(key)
    task = "gone" if game is None else "join" if len(game.secrets) < 2 else "full"
    return render_template("start.html", task=task), 404 if game is None else 200


@app.post("/<key>")
def join(key: str) -> ResponseReturnValue:
    game = games.get(key) or abort(404)
    with game.lock:
        if len(game.secrets) == 2:
            return redirect(url_for("invitation", key=key), 303)
        game.secrets["O"] = token_hex(8)
        game.send_state()
    return redirect(url_for("play", key=key, secret=game.secrets["O"]), 303)


@app.get("/<key>/<secret>")
def play(key: str, secret: str) -> ResponseReturnValue:
    game, mark = find_player(key, secret)
    link = url_for("invitation", key=key, _external=True)
    return render_template("game.html", mark=mark, link=link, path=f"/{game.key}/{secret}")


# --- requests of a page ---------------------------------------------------------------------------


@app.post("/<key>/<secret>/channel")
def open_channel(key: str, secret: str) -> ResponseReturnValue:
    game, mark = find_player(key, secret)
    # Before the state is read: the channel delivers every later state.
    token = channel.create_channel(f"{key}-{mark}")
    with game.lock:
        return {"token": token, "state": game.state()}


@app.post("/<key>/<secret>/move")
def move(key: str, secret: str) -> ResponseReturnValue:
    game, mark = find_player(key, secret)
    with game.lock:
        try:
            game.move(mark, int(request.form["cell"]))
        except ValueError:
            abort(409)
        game.send_state()
    return "", 204


@app.post("/<key>/<secret>/restart")
def restart(key: str, secret: str) -> ResponseReturnValue:
    game, _ = find_player(key, secret)
    with game.lock:
        game.restart()
        game.send_state()
    return "", 204


# --- presence notices -----------------------------------------------------------------------------


@app.post("/_ah/channel/<event>/")
def presence(event: str) -> ResponseReturnValue:
    key, _, mark = request.form["from"].rpartition("-")
    game = games.get(key)
    if game is not None:
        with game.lock:
            if event == "connected":
                game.online.add(mark)
            elif event == "disconnected":
                game.online.discard(mark)
            game.send_state()
    return "", 204
