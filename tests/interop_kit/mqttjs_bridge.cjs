// MQTT.js clients driven over stdin and stdout, one JSON object a line; see mqttjs_client.py.
// In:  {call, client, do: connect|subscribe|unsubscribe|publish|end, …}; payloads are base64.
// Out: {call, result} or {call, error} for each call, and {client, message} for each message.
const mqtt = require("mqtt");
const readline = require("node:readline");

const clients = new Map();
const tell = (object) => process.stdout.write(JSON.stringify(object) + "\n");
const base64 = (bytes) => (bytes === undefined ? null : Buffer.from(bytes).toString("base64"));

function hear(name, client) {
  client.on("error", () => {}); // the call that fails reports it
  client.on("message", (topic, payload, { qos, retain, properties: { correlationData, ...properties } = {} }) =>
    tell({ client: name, message: {
      topic, payload: base64(payload), qos, retain, properties, correlation: base64(correlationData) } }));
}

const actions = {
  connect: ({ client: name, port, options }) =>
    new Promise((resolve, reject) => {
      const client = mqtt.connect({ host: "127.0.0.1", port, ...options });
      hear(name, client);
      client.once("connect", (connack) => resolve(connack.sessionPresent));
      client.once("error", reject);
      client.once("close", () => reject(new Error("closed")));
      clients.set(name, client);
    }),
  subscribe: ({ client, topic, options: { properties, ...subscription } }) =>
    new Promise((resolve, reject) =>
      clients.get(client).subscribe({ [topic]: subscription }, { properties }, (error, _granted, packet) =>
        (packet ? resolve(packet.granted[0]) : reject(error)))),
  unsubscribe: async ({ client, topic }) => { await clients.get(client).unsubscribeAsync(topic); return null; },
  publish: async ({ client, topic, payload, options, correlation }) => {
    if (correlation !== null) options.properties.correlationData = Buffer.from(correlation, "base64");
    await clients.get(client).publishAsync(topic, Buffer.from(payload, "base64"), options);
    return null;
  },
  end: async ({ client }) => { await clients.get(client).endAsync(); return null; },
};

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const order = JSON.parse(line);
  try {
    tell({ call: order.call, result: await actions[order.do](order) });
  } catch (error) {
    tell({ call: order.call, error: String(error) });
  }
});
