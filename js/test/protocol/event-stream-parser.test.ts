import assert from "node:assert/strict";
import { test } from "node:test";
import { EventStreamParser, type StreamEvent } from "../../src/protocol/event-stream-parser.js";
import { seededRandom } from "../helpers/manual-clock.js";

const message = (id: string | null, data: string): StreamEvent => ({ type: "message", data, id });

const CASES: [string, string, StreamEvent[]][] = [
  ["a message", "id: 1-0\ndata: hi\n\n", [message("1-0", "hi")]],
  ["several lines", "data: a\ndata:\ndata: b\n\n", [message(null, "a\n\nb")]],
  ["empty data", "id: 1-0\ndata: \n\n", [message("1-0", "")]],
  ["only one space is removed", "data:  a\ndata:b\n\n", [message(null, " a\nb")]],
  ["a colon in the data", "data: a: b\n\n", [message(null, "a: b")]],
  [
    "CRLF and CR",
    "data: a\r\n\r\ndata: b\r\rdata: c\n\n",
    [message(null, "a"), message(null, "b"), message(null, "c")],
  ],
  ["comments and unknown fields", ": ping\n\nretry: 1000\n\nfoo: bar\ndata: a\n:\n\n", [message(null, "a")]],
  [
    "an event type",
    'event: headrace\ndata: {"type":"open"}\n\n',
    [{ type: "headrace", data: '{"type":"open"}', id: null }],
  ],
  ["the type applies to one event", "event: x\n\ndata: a\n\n", [message(null, "a")]],
  [
    "the id applies to one event",
    "id: 1-0\ndata: a\n\ndata: b\n\n",
    [message("1-0", "a"), message(null, "b")],
  ],
  ["a field without a colon", "data\n\n", [message(null, "")]],
  ["no event without data", "id: 1-0\nevent: x\n\n", []],
  ["an incomplete event", "data: a\n\ndata: b\n", [message(null, "a")]],
  ["characters beyond ASCII", "data: äöü 漢字 🙂\u2028x\n\n", [message(null, "äöü 漢字 🙂\u2028x")]],
];

for (const [name, text, events] of CASES) {
  test(name, () => {
    assert.deepEqual(new EventStreamParser().feed(text), events, "whole");
    const parser = new EventStreamParser();
    assert.deepEqual(
      text.split("").flatMap((character) => parser.feed(character)),
      events,
      "character by character",
    );
  });
}

test("any chunking gives the same events", () => {
  const all = CASES.filter(([name]) => !/incomplete/.test(name));
  const text = all.map(([, part]) => part).join("");
  const events = all.flatMap(([, , expected]) => expected);
  const random = seededRandom(3);
  for (let round = 0; round < 200; round++) {
    const parser = new EventStreamParser();
    const got: StreamEvent[] = [];
    for (let at = 0; at < text.length; ) {
      const size = 1 + Math.floor(random() * 20);
      got.push(...parser.feed(text.slice(at, at + size)));
      at += size;
    }
    assert.deepEqual(got, events);
  }
});
