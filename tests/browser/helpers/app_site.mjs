// The web site of an App Engine application: another origin than the server's, with its script.

import { createServer } from "node:http";

/** Serves `/` with the script at the end of the body, and `/early` with everything in the head. */
export async function startAppSite() {
  let serverUrl = "";
  const server = createServer((request, response) => {
    const early = request.url.startsWith("/early");
    const found = early || request.url === "/";
    response.writeHead(found ? 200 : 404, { "content-type": "text/html; charset=utf-8" });
    response.end(found ? pageHtml(`${serverUrl}/_ah/channel/jsapi`, early) : "");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  return {
    url: `http://127.0.0.1:${port}`,
    /** The same site with another origin. */
    otherOriginUrl: `http://localhost:${port}`,
    /** Sets the URL of the server that has the script. */
    setServerUrl(url) {
      serverUrl = url;
    },
    stop() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/**
 * The script of each page: `openChannel(token)` opens a channel, and `calls` has a record of each call
 * of its handlers. `duringOpen` is true if the handler was called inside `open()`.
 */
const SCRIPT = `
  var calls = [], opening = false, socket;
  function makeHandlers() {
    function recorder(name) {
      return function (event) {
        calls.push({
          name: name, event: event, thisIsSocket: this === socket, state: this.readyState, duringOpen: opening,
        });
      };
    }
    return {
      onopen: recorder("open"), onmessage: recorder("message"),
      onerror: recorder("error"), onclose: recorder("close"),
    };
  }
  function openChannel(token) {
    opening = true;
    socket = new goog.appengine.Channel(token).open(makeHandlers());
    opening = false;
  }`;

function pageHtml(scriptUrl, early) {
  const scripts = `<script src="${scriptUrl}"></script><script>${SCRIPT}</script>`;
  const start = "<script>var body = document.body; openChannel(location.hash.slice(1))</script>";
  return `<!doctype html><html lang="en"><head><title>A site</title><link rel="icon" href="data:,">${
    early ? scripts + start : ""
  }</head><body>${early ? "" : scripts}</body></html>`;
}
