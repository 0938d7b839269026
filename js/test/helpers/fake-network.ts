/** WebSockets and HTTP requests without a network: the test acts for the server. */

import { settle } from "./manual-clock.js";

/** The client's end of a WebSocket. The methods after `close` act for the server. */
export class FakeSocket {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  readonly sent: unknown[] = [];
  closedWith: number | null = null;

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {}

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(code: number): void {
    this.closedWith = code;
  }

  /** The server sends an "open" frame. */
  open(fields: object = {}): void {
    this.sendFrame({
      type: "open",
      client_id: "ann",
      id: "100-0",
      recovered: null,
      expires_at: null,
      ping_interval: 25,
      ...fields,
    });
  }

  message(id: string, data = `data of ${id}`): void {
    this.sendFrame({ id, data });
  }

  sendFrame(frame: unknown): void {
    this.sendRaw(JSON.stringify(frame));
  }

  sendRaw(data: unknown): void {
    this.onmessage?.({ data });
  }

  closeByServer(code: number, reason = ""): void {
    this.onclose?.({ code, reason });
  }
}

/** A request that the test answers. */
export class FakeRequest {
  readonly headers: Headers;
  readonly aborted: Promise<void>;
  private resolve!: (response: Response) => void;
  private reject!: (error: Error) => void;
  private stream: ReadableStreamDefaultController<Uint8Array> | null = null;
  readonly response: Promise<Response>;

  constructor(
    readonly url: string,
    readonly init: RequestInit,
  ) {
    this.headers = new Headers(init.headers);
    this.response = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.aborted = new Promise((resolve) => {
      init.signal?.addEventListener("abort", () => {
        const error = new DOMException("aborted", "AbortError");
        this.reject(error);
        this.stream?.error(error);
        resolve();
      });
    });
  }

  get isAborted(): boolean {
    return this.init.signal?.aborted ?? false;
  }

  get json(): unknown {
    return JSON.parse(String(this.init.body));
  }

  async answer(status: number, body: unknown = null, headers: Record<string, string> = {}): Promise<void> {
    const text = body === null ? null : typeof body === "string" ? body : JSON.stringify(body);
    this.resolve(new Response(text, { status, headers }));
    await settle();
  }

  async fail(): Promise<void> {
    this.reject(new TypeError("Failed to fetch"));
    await settle();
  }

  /** Answer 200 with a streamed body. */
  async startStream(type = "text/event-stream"): Promise<void> {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.stream = controller;
      },
    });
    this.resolve(new Response(body, { headers: { "content-type": type } }));
    await settle();
  }

  async push(chunk: string | Uint8Array): Promise<void> {
    this.stream?.enqueue(typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk);
    await settle();
  }

  async endStream(): Promise<void> {
    this.stream?.close();
    await settle();
  }

  async breakStream(): Promise<void> {
    this.stream?.error(new TypeError("network error"));
    await settle();
  }
}
