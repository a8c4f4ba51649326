// One MQTT.js client: subscribes, publishes 100 messages at each QoS, and prints what it heard as JSON.
// Usage: node mqttjs_client.cjs PORT PROTOCOL_VERSION; NODE_PATH names the folder that holds mqtt.
const mqtt = require("mqtt");

const [port, version] = process.argv.slice(2).map(Number);
const v5 = version === 5 ? { autoAssignTopicAlias: true, properties: { receiveMaximum: 10, sessionExpiryInterval: 60 } } : {};

async function main() {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, {
    protocolVersion: version, clientId: "js", clean: true, keepalive: 5, reconnectPeriod: 0, ...v5,
  });
  const heard = [];
  const all = new Promise((resolve) =>
    client.on("message", (topic, payload, packet) => {
      heard.push([topic, payload.toString(), packet.qos]);
      if (heard.length === 300) resolve();
    }));
  const granted = await client.subscribeAsync("js/#", { qos: 1 });
  for (const qos of [0, 1, 2]) {
    const sent = [];
    for (let one = 0; one < 100; one++) sent.push(client.publishAsync(`js/${qos}`, String(one), { qos }));
    await Promise.all(sent);
  }
  await all;
  await client.unsubscribeAsync("js/#");
  await client.endAsync();
  console.log(JSON.stringify({ granted: granted[0].qos, heard }));
}

main().catch((error) => { console.error(error); process.exit(1); });
