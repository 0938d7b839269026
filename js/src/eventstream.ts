/** The event stream format (WHATWG HTML, section 9.2.6): text in, events out. */

export interface StreamEvent {
  /** "message" where the stream names none. */
  type: string;
  data: string;
  /** Of this very event; null where it has none. */
  id: string | null;
}

export class EventStreamParser {
  /** The end of what came that is no whole line yet. */
  private _rest = "";
  private _started = false;
  private _type = "";
  private _data: string[] = [];
  private _id: string | null = null;

  /** The events that `text` completes, in order. It may be cut anywhere. */
  feed(text: string): StreamEvent[] {
    let rest = this._rest + text;
    if (!this._started && rest) {
      this._started = true;
      rest = rest.replace(/^\ufeff/, "");
    }
    // A CR at the end may be half of a CRLF.
    const held = rest.endsWith("\r") ? "\r" : "";
    const lines = rest.slice(0, rest.length - held.length).split(/\r\n|\r|\n/);
    this._rest = lines.pop() + held;
    const events: StreamEvent[] = [];
    for (const line of lines) {
      if (line) this._field(line);
      else this._dispatch(events);
    }
    return events;
  }

  private _field(line: string): void {
    const [, name, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (name === "data") this._data.push(value);
    else if (name === "event") this._type = value;
    else if (name === "id") this._id = value;
    // A comment has no name. `retry` is not heeded: this client's own waits are jittered too.
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
