/** Parser for the event stream format (WHATWG HTML, section 9.2.6): text in, events out. */

export interface StreamEvent {
  /** The `event` field, or "message" if the event has none. */
  type: string;
  data: string;
  /** The `id` field of this event, or null. The last id is not carried over from earlier events. */
  id: string | null;
}

/**
 * Call `feed()` with each chunk of decoded text. It returns the events completed by that chunk. A byte
 * order mark is not expected: `TextDecoder` removes it.
 */
export class EventStreamParser {
  /** The text after the last complete line. */
  private _rest = "";
  private _type = "";
  private _data: string[] = [];
  private _id: string | null = null;

  /** The events that `text` completes, in order. Chunks may be split anywhere. */
  feed(text: string): StreamEvent[] {
    const rest = this._rest + text;
    // A CR at the end may be the first half of a CRLF: keep it for the next call.
    const heldBack = rest.endsWith("\r") ? "\r" : "";
    const lines = rest.slice(0, rest.length - heldBack.length).split(/\r\n|\r|\n/);
    this._rest = lines.pop() + heldBack;
    const events: StreamEvent[] = [];
    for (const line of lines) {
      if (line) this._parseField(line);
      else this._dispatch(events);
    }
    return events;
  }

  private _parseField(line: string): void {
    const [, name, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (name === "data") this._data.push(value);
    else if (name === "event") this._type = value;
    else if (name === "id") this._id = value;
    // A comment has an empty name. `retry` is ignored: the client has its own jittered backoff.
  }

  private _dispatch(events: StreamEvent[]): void {
    if (this._data.length) {
      events.push({ type: this._type || "message", data: this._data.join("\n"), id: this._id });
    }
    this._type = "";
    this._data = [];
    this._id = null;
  }
}
