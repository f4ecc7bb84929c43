// One call of MPS by Tencent's SDK for Node, to an emulator on this machine: node call.js PORT ACTION JSON
const http = require("http");
const net = require("net");
const { mps } = require("tencentcloud-sdk-nodejs-mps");

const [port, action, params] = process.argv.slice(2);
// The SDK signs the host without its port, and the service by the first part of the host's name: so the endpoint stays
// MPS's own, and its connections lead to the emulator.
const agent = new http.Agent();
agent.createConnection = () => net.connect(port, "127.0.0.1");
const client = new mps.v20190612.Client({
  credential: { secretId: "emulator-id", secretKey: "emulator-key" },
  region: "ap-singapore",
  profile: { httpProfile: { protocol: "http://", agent } },
});
client[action](JSON.parse(params)).then(
  (answer) => console.log(JSON.stringify(answer)),
  (error) => {
    console.error(error.code);
    process.exitCode = 1;
  },
);
