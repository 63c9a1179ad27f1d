"""What a Kafka cluster's topics hold, and the settings that follow from it."""
