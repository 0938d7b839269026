// An application's own web site: another origin than Headrace's, with the App Engine script in it.

import { createServer } from "node:http";

/** Serves `/` with the script at the body's end, and `/early` with all of it in the head. */
export async function startSite() {
  let headrace = "";
  const server = createServer((request, response) => {
    const early = request.url.startsWith("/early");
    const found = early || request.url === "/";
    response.writeHead(found ? 200 : 404, { "content-type": "text/html; charset=utf-8" });
    response.end(found ? page(`${headrace}/_ah/channel/jsapi`, early) : "");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  return {
    url: `http://127.0.0.1:${port}`,
    /** The same site under a name that is another origin. */
    strangerUrl: `http://localhost:${port}`,
    use(url) {
      headrace = url;
    },
    stop() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What each page has: `listen(token)` opens a channel, and `seen` is what its handlers were told. */
const LISTEN = `
  var seen = [], inside = false, socket;
  function handlers() {
    function note(name) {
      return function (event) {
        seen.push({ name: name, event: event, self: this === socket, state: this.readyState, inside: inside });
      };
    }
    return { onopen: note("open"), onmessage: note("message"), onerror: note("error"), onclose: note("close") };
  }
  function listen(token) {
    inside = true;
    socket = new goog.appengine.Channel(token).open(handlers());
    inside = false;
  }`;

function page(script, early) {
  const scripts = `<script src="${script}"></script><script>${LISTEN}</script>`;
  const start = "<script>var body = document.body; listen(location.hash.slice(1))</script>";
  return `<!doctype html><html lang="en"><head><title>A site</title><link rel="icon" href="data:,">${
    early ? scripts + start : ""
  }</head><body>${early ? "" : scripts}</body></html>`;
}
