# pkgs.callPackage ./package.nix { }
{ lib, rustPlatform, installShellFiles, stdenv, buildPackages, coreutils }:
let
  manifest = builtins.fromTOML (builtins.readFile ../../Cargo.toml);
in
rustPlatform.buildRustPackage {
  pname = "oyez";
  inherit (manifest.package) version;

  src = lib.cleanSourceWith {
    src = lib.cleanSource ../..;
    filter = path: _: baseNameOf path != "target";
  };
  cargoLock.lockFile = ../../Cargo.lock;

  # The project's own CI runs them, with a pretend forum and Mastodon on loopback; they compile everything a second time.
  doCheck = false;

  nativeBuildInputs = [ installShellFiles ];
  postInstall = ''
    install -Dm644 deploy/systemd/oyez.service $out/lib/systemd/system/oyez.service
    substituteInPlace $out/lib/systemd/system/oyez.service \
      --replace-fail "ExecStart=oyez " "ExecStart=$out/bin/oyez " \
      --replace-fail "ExecReload=kill " "ExecReload=${coreutils}/bin/kill " \
      --replace-fail "file:///usr/share/doc/oyez" "file://$out/share/doc/oyez"
    mkdir -p $out/share/doc/oyez
    cp -r docs README.md oyez.example.toml $out/share/doc/oyez/
  '' + lib.optionalString (stdenv.hostPlatform.emulatorAvailable buildPackages) ''
    installShellCompletion --cmd oyez \
      --bash <(${stdenv.hostPlatform.emulator buildPackages} $out/bin/oyez completions bash) \
      --fish <(${stdenv.hostPlatform.emulator buildPackages} $out/bin/oyez completions fish) \
      --zsh <(${stdenv.hostPlatform.emulator buildPackages} $out/bin/oyez completions zsh)
  '';

  meta = {
    inherit (manifest.package) description;
    license = with lib.licenses; [ mit asl20 ];
    mainProgram = "oyez";
    platforms = lib.platforms.linux;
  };
}
