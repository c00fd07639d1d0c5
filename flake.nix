# At the top because a flake is named by its repository; everything else is in deploy/nix.
{
  description = "Oyez: hears what a community announces and says it once on its social accounts";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" ];
      each = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      packages = each (pkgs: rec {
        oyez = pkgs.callPackage ./deploy/nix/package.nix { };
        default = oyez;
      });
      overlays.default = final: _: { oyez = final.callPackage ./deploy/nix/package.nix { }; };
      nixosModules = rec {
        oyez = import ./deploy/nix/module.nix { inherit self; };
        default = oyez;
      };
      checks = each (pkgs: {
        package = self.packages.${pkgs.stdenv.hostPlatform.system}.oyez;
        vm = pkgs.testers.runNixOSTest (import ./deploy/nix/vm-test.nix { module = self.nixosModules.oyez; });
      });
      devShells = each (pkgs: {
        default = pkgs.mkShell { packages = with pkgs; [ cargo rustc clippy rustfmt cargo-deny ]; };
      });
    };
}
