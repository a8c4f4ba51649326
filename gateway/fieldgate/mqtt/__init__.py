"""MQTT 3.1.1 and 5 without sockets: codec, sessions, topics; fed bytes and time, answers with packets and bytes."""
