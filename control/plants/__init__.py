"""material and energy balances -> do_mpc models: the controller's own plants, one file a unit operation (offline)."""
