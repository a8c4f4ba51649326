// Aedes, the broker inside Node-RED and Homebridge plugins, on one port of the loopback. Usage: node aedes_broker.cjs PORT
// It keeps sessions in memory only. Ends on SIGTERM.
const net = require("node:net");

async function main(port) {
  // Aedes is an ES module, which NODE_PATH does not find; require.resolve does.
  const { Aedes } = await import(require.resolve("aedes"));
  const aedes = await Aedes.createBroker();
  net.createServer(aedes.handle).listen(port, "127.0.0.1");
}

main(Number(process.argv[2]));
