#!/usr/bin/env bash
# tencentcloud-sdk-nodejs-common 4.1.220: with an endpoint that has a port (a proxy, a stand-in in a test), the SDK sends
# "Host: name:port" and signs "host:name", so that whoever checks TC3-HMAC-SHA256 as it is documented, by the headers
# that came, refuses every call as AuthFailure.SignatureFailure. It also takes the service that it signs for from the
# first part of the endpoint's name, "127" for 127.0.0.1. Tencent's SDK for Python signs the host with its port.
#
# Seen: the signature fits the canonical headers without the port, and not those that were sent.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund tencentcloud-sdk-nodejs-common@4.1.220 tencentcloud-sdk-nodejs-mps@4.1.305
cat >seen.js <<'JS'
const crypto = require("crypto");
const http = require("http");
const { mps } = require("tencentcloud-sdk-nodejs-mps");

const hmac = (key, text) => crypto.createHmac("sha256", key).update(text).digest();
const sha256 = (text) => crypto.createHash("sha256").update(text).digest("hex");

function signature(request, body, host, service) {
  const stamp = request.headers["x-tc-timestamp"];
  const date = new Date(stamp * 1000).toISOString().slice(0, 10);
  const headers = `content-type:${request.headers["content-type"]}\nhost:${host}\n`;
  const canonical = ["POST", "/", "", headers, "content-type;host", sha256(body)].join("\n");
  const text = ["TC3-HMAC-SHA256", stamp, `${date}/${service}/tc3_request`, sha256(canonical)].join("\n");
  return hmac(hmac(hmac(hmac("TC3key", date), service), "tc3_request"), text).toString("hex");
}

const server = http.createServer((request, response) => {
  let body = "";
  request.on("data", (part) => (body += part));
  request.on("end", () => {
    const signed = request.headers.authorization.match(/Signature=(\w+)/)[1];
    const service = request.headers.authorization.match(/\/(\w+)\/tc3_request/)[1];
    const sent = request.headers.host;
    const bare = sent.split(":")[0];
    console.log(`Host: ${sent}; service ${service}; signed with the port: ${signed === signature(request, body, sent, service)};` +
      ` without: ${signed === signature(request, body, bare, service)}`);
    response.setHeader("Content-Type", "application/json");
    response.end('{"Response": {"RequestId": "r"}}');
  });
});
server.listen(0, "127.0.0.1", async () => {
  const endpoint = `127.0.0.1:${server.address().port}`;
  const credential = { secretId: "id", secretKey: "key" };
  const profile = { httpProfile: { endpoint, protocol: "http://" } };
  await new mps.v20190612.Client({ credential, region: "ap-singapore", profile }).DescribeTasks({ Status: "FINISH" });
  server.close();
});
JS
node seen.js | tee seen.txt
grep -Eq '^Host: 127\.0\.0\.1:[0-9]+; service 127; signed with the port: false; without: true$' seen.txt
