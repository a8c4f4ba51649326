"""Other people's MQTT clients and brokers behind one interface each, so that one suite runs against all of them."""
