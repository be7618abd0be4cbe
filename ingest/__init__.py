"""The wire: codecs, journal, sinks, commands out."""
